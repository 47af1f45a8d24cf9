"""The demonstration: a company on stand-ins, its story, and the same story as the end-to-end test. Development aids only."""
