package pastry

// maxAnswers bounds the payloads of answers kept for late copies, in bytes.
const maxAnswers = 64 << 20

// answers are what applications said to messages that were delivered, kept so
// that a late copy gets the same answer: as many bytes as maxAnswers, the oldest
// going first. A delivery whose answer went is remembered without it.
type answers struct {
	fifo  []keptAnswer
	bytes int
}

type keptAnswer struct {
	d       *delivery
	size    int
	expires Time
}

// keep takes in the answer of a delivery.
func (a *answers) keep(d *delivery, expires Time) {
	size := len(d.answer.Payload)
	if size == 0 {
		return
	}
	a.fifo = append(a.fifo, keptAnswer{d, size, expires})
	a.bytes += size
	for a.bytes > maxAnswers {
		a.dropOldest()
	}
}

// expire drops whatever nobody asks for any more.
func (a *answers) expire(now Time) {
	for len(a.fifo) > 0 && a.fifo[0].expires <= now {
		a.dropOldest()
	}
}

func (a *answers) dropOldest() {
	old := a.fifo[0]
	a.fifo[0] = keptAnswer{}
	a.fifo = a.fifo[1:]
	a.bytes -= old.size
	lost := *old.d.answer
	lost.Code, lost.Payload, lost.Auth = CodeDuplicate, nil, nil
	old.d.answer = &lost
}
