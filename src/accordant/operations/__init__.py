"""What a person or a schedule starts: reconcile, redrive, pause, initialize. One module each, with one public verb."""
