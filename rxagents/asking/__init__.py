"""What an agent asks of others: it runs once, ends with the turn that asked, and is paid for once."""
