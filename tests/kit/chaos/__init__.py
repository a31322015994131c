"""Workers of a counting stage on a real Kafka while processes are killed, frozen, added, removed and restarted."""
