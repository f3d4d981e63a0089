"""Where the teacher's maps come from: labels, a network of ours, an array beside the pictures."""
