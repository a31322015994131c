"""The local stack: Kafka, the warehouse, the sandbox buyer and Leadline's own processes under one supervisor."""
