// Package suricata reads the alerts of Suricata's EVE JSON output.
package suricata

import (
	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

// Name is the adapter's key in the registry and the product in the sensors' path.
const Name = "suricata"

// Product is the adapter's row of the registry. It has no verbs: alerts come in, and nothing is sent.
var Product = adapters.Product{
	Info: adapters.Info{Name: Name, Title: "Suricata"},
	Open: func(threat.Connection, string) (any, error) { return Adapter{}, nil },
}

// Adapter is Suricata as a Detector. It holds nothing and is safe for use by several goroutines.
type Adapter struct{}

var _ adapters.Detector = Adapter{}
