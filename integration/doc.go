// Package integration tests errand against a real RabbitMQ: what only a real server shows.
// The server is the one that AMQP_URL names, or a private one that package devserver starts.
package integration
