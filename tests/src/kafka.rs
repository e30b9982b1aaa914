//! A real Apache Kafka.
