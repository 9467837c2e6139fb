package sim

// HasSite reports whether a topology read from a file has a site with an index.
func HasSite(t Topology, site int32) bool { return int(site) < len(t.(*matrix).sites) }

// Made returns how many nodes have a state machine.
func Made(s *Sim) int {
	made := 0
	for _, n := range s.nodes {
		if n.raw != nil {
			made++
		}
	}
	return made
}

// Remembered returns how many messages are kept in mind, those that have ended
// included.
func Remembered(s *Sim) int { return len(s.messages.kept) }
