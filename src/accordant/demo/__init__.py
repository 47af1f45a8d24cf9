"""The demonstration: a company on stand-ins, its story, and the end-to-end test made of it. Development aids only."""
