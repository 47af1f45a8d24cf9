"""What everything else stands on: money, ids, instants, canonical hashing, the five error roots. No business."""
