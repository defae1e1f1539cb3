"""What an algorithm's file may import: layouts, error bounds, stages, planes."""
