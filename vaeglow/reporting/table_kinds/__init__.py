"""One module for each kind of table: its columns, where its numbers come from, what its notes have to say."""
