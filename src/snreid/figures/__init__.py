"""Pages and pictures for readers: the report, its charts and tables, rank lists as pictures. No torch, no plotting library."""
