package records

import "time"

// What a node allows itself when it asks others about records and carries out tasks.
// The driver of a real node and that of a simulated one keep to it alike.
const (
	AskTries      = 4                      // calls to the root of a key, until one is answered
	AskTimeout    = 10 * time.Second       // of one of them
	AskPause      = 100 * time.Millisecond // after the first; doubles
	MemberTimeout = 3 * time.Second        // for one member to answer another
	RecordTime    = 5 * time.Millisecond   // more for each record that it has to verify and store

	UpkeepTasks   = 4                // under way at once
	HandoverLimit = 2 * time.Second  // for handing on what is held when the node leaves
	GoneFor       = 10 * time.Minute // for which a member out of sight is still known

	MaxFetched = 4096      // records asked for in one call
	ReplyRoom  = 508 << 10 // bytes of records in one call or reply: a payload, less what is around them
)
