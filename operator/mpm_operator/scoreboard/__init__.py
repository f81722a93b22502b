"""What a pod says of itself: parse, merge over pods, render."""
