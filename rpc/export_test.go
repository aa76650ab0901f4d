package rpc

// Registered is how many running calls s knows by their IDs.
func (s *Server) Registered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.running)
}
