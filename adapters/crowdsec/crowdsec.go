// Package crowdsec reads the alerts of CrowdSec's local API, as its HTTP notification plugin posts them.
package crowdsec

import (
	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

// Name is the adapter's key in the registry and the product in the sensors' path.
const Name = "crowdsec"

// Product is the adapter's row of the registry. It has no verbs: alerts come in, and nothing is sent.
var Product = adapters.Product{
	Info: adapters.Info{Name: Name, Title: "CrowdSec"},
	Open: func(threat.Connection, string) (any, error) { return Adapter{}, nil },
}

// Adapter is CrowdSec as a Detector. It holds nothing and is safe for use by several goroutines.
type Adapter struct{}

var _ adapters.Detector = Adapter{}
