package pastry

func (n *Node) startRecords() error { return nil }
