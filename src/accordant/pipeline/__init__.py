"""What happens on its own: receive, interpret, process, deliver, settle. One room a module."""
