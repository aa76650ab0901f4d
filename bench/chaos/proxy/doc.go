// Package proxy is a TCP proxy that fails as networks do: it cuts connections, also in the
// midst of a frame, swallows what is sent, in both directions or in one, and is slow.
package proxy
