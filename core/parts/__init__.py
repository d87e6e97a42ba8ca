"""What several steps share: the page allocator, the stage-2 tables, lookups. No step stands here."""
