//! A real mosquitto.
