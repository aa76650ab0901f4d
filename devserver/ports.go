package devserver

import (
	"errors"
	"math/rand/v2"
	"net"
)

// The range is below those from which Linux (32768) and macOS (49152) take the ports of
// outgoing connections. In those a client that reconnects to a node which is restarting
// can be given the node's own port: it then talks to itself, and the node can't start.
const firstPort, lastPort = 20000, 29999

// freePorts returns n ports that nobody listens on at this moment.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range 1000 {
		if len(ports) == n {
			return ports, nil
		}
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		// Wildcard, because a listener on all addresses also takes the loopback's.
		l, err := net.ListenTCP("tcp", &net.TCPAddr{Port: port})
		if err != nil {
			continue
		}
		defer l.Close() // held until all are found, so that they differ
		ports = append(ports, port)
	}
	return nil, errors.New("no free ports between 20000 and 29999")
}
