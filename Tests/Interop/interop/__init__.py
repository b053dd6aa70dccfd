"""What the interoperability tests stand on: processes, sockets, mailboxes, and readers of PEC messages of their own."""
