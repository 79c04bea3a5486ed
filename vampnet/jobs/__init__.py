"""Jobs: files in, files out; resumable and batched."""
