// Package ipns judges IPNS records: what may be the value of a key of the
// namespace "ipns", and which of several is the one to keep. It follows
// https://specs.ipfs.tech/ipns/ipns-record/. It does not make records.
package ipns
