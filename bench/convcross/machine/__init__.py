"""The machine that measures: processor, cards, caches, memory, rivals for its cores, its floors."""
