package pastry

import (
	"math"
	"testing"

	"github.com/libp2p/go-libp2p/core/routing"
)

func TestQuorum(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts []routing.Option
		want int
		said bool
	}{
		{"none", nil, 0, false},
		{"another option", []routing.Option{routing.Expired}, 0, false},
		{"all", []routing.Option{Quorum(0)}, 0, true},
		{"some", []routing.Option{routing.Offline, Quorum(3)}, 3, true},
		{"the last counts", []routing.Option{Quorum(3), Quorum(4)}, 4, true},
		{"very many", []routing.Option{Quorum(math.MaxInt)}, math.MaxInt32, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var o routing.Options
			if err := o.Apply(tt.opts...); err != nil {
				t.Fatal(err)
			}
			if got, said := quorumOf(&o); got != tt.want || said != tt.said {
				t.Errorf("got %d, %t, want %d, %t", got, said, tt.want, tt.said)
			}
		})
	}
}

func TestQuorumRefused(t *testing.T) {
	var o routing.Options
	if err := o.Apply(Quorum(-1)); err == nil {
		t.Error("Quorum(-1): got no error")
	}
	if _, said := quorumOf(&o); said {
		t.Error("a refused quorum is given")
	}
}

// QuorumOptionKey has the name of the key of another module, and not its path.
type QuorumOptionKey struct{}

func TestQuorumOfOddOptions(t *testing.T) {
	for name, o := range map[string]*routing.Options{
		"no options":      nil,
		"a nil key":       {Other: map[any]any{nil: 3}},
		"another's key":   {Other: map[any]any{QuorumOptionKey{}: 3}},
		"not a number":    {Other: map[any]any{quorumKey{}: "3"}},
		"another number":  {Other: map[any]any{quorumKey{}: int64(3)}},
		"a nil value":     {Other: map[any]any{quorumKey{}: nil}},
		"unnamed types":   {Other: map[any]any{struct{}{}: 3, [2]int{}: 3, "quorum": 3}},
		"pointer to ours": {Other: map[any]any{new(quorumKey): 3}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, said := quorumOf(o); got != 0 || said {
				t.Errorf("got %d, %t, want none", got, said)
			}
		})
	}
}

func TestTypeIs(t *testing.T) {
	const path = "github.com/secondbit/pastry"
	for _, tt := range []struct {
		name      string
		v         any
		path, typ string
		want      bool
	}{
		{"the type", QuorumOptionKey{}, path, kadQuorumName, true},
		{"another path", QuorumOptionKey{}, kadQuorumPath, kadQuorumName, false},
		{"another name", quorumKey{}, path, kadQuorumName, false},
		{"a pointer to it", &QuorumOptionKey{}, path, kadQuorumName, false},
		{"nil", nil, "", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := typeIs(tt.v, tt.path, tt.typ); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
}
