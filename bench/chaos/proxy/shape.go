package proxy

import "time"

// A Shape says how bad a network is. The zero Shape is a good one.
type Shape struct {
	Latency   time.Duration // before each piece is passed on
	Bandwidth int           // bytes a second in each direction; zero means no limit
	Piece     int           // the most that is read and passed on at once; zero means no limit
}

// piece is how much of a buffer of size bytes is to be used.
func (s *Shape) piece(size int) int {
	if s.Piece > 0 {
		return min(size, s.Piece)
	}
	return size
}

// delay waits as long as n bytes take, or returns false when gone is closed.
func (s *Shape) delay(n int, gone <-chan struct{}) bool {
	wait := s.Latency
	if s.Bandwidth > 0 {
		wait += time.Duration(n) * time.Second / time.Duration(s.Bandwidth)
	}
	if wait <= 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-gone:
		return false
	}
}
