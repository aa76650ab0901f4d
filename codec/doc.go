// Package codec turns a job's arguments into bytes and back.
//
// [JSON] is the default: readable in RabbitMQ's own pages and written by every language.
// [Bytes] hands the body over as it is, for messages that are not JSON. A user's own format
// is a type with the three methods of [Codec].
package codec
