package threat

import (
	"time"

	"github.com/google/uuid"
)

// Names of the lists that firewalls poll: one kind of indicator each.
const (
	FeedIPs     = "ips"
	FeedDomains = "domains"
)

// FeedLists gives every list's name.
var FeedLists = []string{FeedIPs, FeedDomains}

// FeedEntry is one indicator on one list of one connection.
type FeedEntry struct {
	ConnectionID uuid.UUID `json:"connection_id"`
	TenantID     uuid.UUID `json:"tenant_id"`
	List         string    `json:"list"`
	Value        string    `json:"value"`    // canonical
	Mark         string    `json:"mark"`     // whose it is; see adapters.Order
	Revision     int64     `json:"revision"` // of the list, when this entry came in; a renewal of Until keeps it
	AddedAt      time.Time `json:"added_at"`
	Until        time.Time `json:"until"` // from then on it is not served any more
}

// FeedList is how one list of one connection stands. Its revision rises with every change, an expiry among them.
type FeedList struct {
	ConnectionID uuid.UUID `json:"connection_id"`
	List         string    `json:"list"`
	Revision     int64     `json:"revision"`
	ChangedAt    time.Time `json:"changed_at"`
	Entries      int       `json:"entries"`
}

// FeedFetch is the last time that one firewall fetched one list: which revision, when, and how far apart its fetches are.
type FeedFetch struct {
	ConnectionID uuid.UUID     `json:"connection_id"`
	List         string        `json:"list"`
	Firewall     string        `json:"firewall"`
	Revision     int64         `json:"revision"`
	At           time.Time     `json:"at"`
	Interval     time.Duration `json:"interval"` // zero until it has been seen twice
}
