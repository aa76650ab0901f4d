// Package store keeps copies of files in a bucket: a directory, S3, Google Cloud Storage,
// Azure, memory, whatever gocloud.dev/blob opens.
//
//	files/<path>            the bytes of a file, under its own path
//	records/<xx>/<hash>     what is known of it: size, time, SHA-256 (see [Record])
//
// [Store.Put] streams a file, reads back what the bucket then holds, compares the SHA-256
// of both, and writes the record last. So a record is a proof: without one that fits, the
// file is copied again. Nothing half written is ever seen under files/: buckets make an
// object visible when its writer closes, and a copy that is given up cancels its writer.
//
// The record is an object of its own and not the other's metadata, because not every bucket
// writes the two as one: a directory keeps metadata in a second file, and a worker killed
// between the two would leave bytes that contradict it.
//
// Nothing is ever deleted but a copy that turned out wrong. One store takes one source;
// give each its own with a prefix: s3://bucket?prefix=laptop/.
package store
