package pastry

import (
	"time"

	"github.com/secondbit/pastry/ring"
)

// expire forgets what is over, and asks to be called again.
func (n *RawNode) expire() {
	n.relays.expire(n.now)
	n.deliveries.expire(n.now)
	n.answers.expire(n.now)
	n.holders.expire(n.now)
	for id, t := range n.forwarding { // order does not matter: each is judged alone
		if n.now >= t.expires { // the application said nothing
			delete(n.forwarding, id)
			n.stats.Drops[DropExpired]++
		}
	}
	for id, g := range n.dead { // order does not matter: each is judged alone
		if n.now-g.at > Time(quarantine) {
			delete(n.dead, id)
		}
	}
	n.sweep()
	n.due[timerExpire] = 0
	n.armExpire()
}

// armExpire makes expire be called in time, once there is something to expire.
func (n *RawNode) armExpire() {
	if n.due[timerExpire] == 0 && len(n.relays.m)+len(n.deliveries.m)+len(n.dead)+n.peers.len() > 0 {
		n.arm(timerExpire, memoryTime/4)
	}
}

// strangerTime is how long a peer is remembered that no table, connection or
// question needs, since it was last heard or sent something. One that has left is
// known to have left for longer.
const strangerTime = 15 * time.Second

// sweep forgets peers that nothing needs.
func (n *RawNode) sweep() {
	n.peers.removeIf(func(id ring.ID, p *peerState) bool {
		if p.connected || p.probe != nil || n.now-max(p.heard, p.sent) < Time(strangerTime) ||
			p.state == StateLeaving && n.now-p.heard < Time(memoryTime) || n.granted(id) || n.holds(id) {
			return false
		}
		n.known.remove(p)
		delete(n.owed, p)
		return true
	})
	n.sweepAt = n.peers.len()*5/4 + 16
}
