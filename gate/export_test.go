package gate

// Guessers is how many counters of guesses are kept.
func (m *Memory) Guessers() int {
	m.guesses.mu.Lock()
	defer m.guesses.mu.Unlock()
	return len(m.guesses.full)
}
