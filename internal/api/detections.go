package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/ingest"
	"github.com/firebreak/firebreak/internal/threat"
)

type fromSensor struct {
	Tenant  string `path:"tenant" doc:"an id or a slug"`
	Product string `path:"product" doc:"a product whose own format the body has"`
}

type detectionList struct {
	Tenant string                `path:"tenant" doc:"an id or a slug"`
	State  threat.DetectionState `query:"state" enum:"received,assigned,duplicate,suppressed,quarantined" doc:"left out: all"`
	Limit  int                   `query:"limit" minimum:"0" maximum:"200"`
}

func (a *API) detectionRoutes() {
	handle(a, post("/v1/tenants/{tenant}/detections", "post-detections", "detections",
		"OCSF 1.8 Detection Findings: one, a list, or one on each line").answers(http.StatusAccepted),
		func(ctx context.Context, c *call, p *inTenant, body raw) (ingest.Receipt, error) {
			o, err := a.tenant(ctx, c, p.Tenant, "detection.write")
			if err != nil {
				return ingest.Receipt{}, err
			}
			r, err := a.d.Ingest.AcceptOCSF(ctx, o.ID, c.caller.Actor(), body)
			return r, unreadable(err)
		})
	handle(a, post("/v1/tenants/{tenant}/sensors/{product}", "post-sensor", "detections",
		"Findings in a product's own format").answers(http.StatusAccepted),
		func(ctx context.Context, c *call, p *fromSensor, body raw) (ingest.Receipt, error) {
			o, err := a.tenant(ctx, c, p.Tenant, "detection.write")
			if err != nil {
				return ingest.Receipt{}, err
			}
			r, err := a.d.Ingest.AcceptProduct(ctx, o.ID, c.caller.Actor(), p.Product, body)
			return r, unreadable(err)
		})
	handle(a, get("/v1/tenants/{tenant}/detections", "list-detections", "detections",
		"A tenant's detections, the newest first: what was suppressed or could not be read, too"),
		func(ctx context.Context, c *call, p *detectionList, _ none) (wire.List[threat.Detection], error) {
			o, err := a.tenant(ctx, c, p.Tenant, "detection.read")
			if err != nil {
				return wire.List[threat.Detection]{}, err
			}
			found, err := a.d.Store.Detections(ctx, o.ID, p.State, limit(p.Limit, 50, 200))
			if err != nil {
				return wire.List[threat.Detection]{}, err
			}
			found, err = withoutOwn(ctx, a, c, found, func(d threat.Detection) (uuid.UUID, uuid.NullUUID) { return d.TenantID, d.CaseID })
			return list(found), err
		})
	handle(a, get("/v1/detections/{id}", "get-detection", "detections", "One detection, with what its product sent"),
		func(ctx context.Context, c *call, p *byID, _ none) (wire.Detection, error) {
			id, err := pathID(p.ID, "detection")
			if err != nil {
				return wire.Detection{}, err
			}
			d, err := a.d.Store.Detection(ctx, id)
			if err != nil {
				return wire.Detection{}, noSuch(err, "detection")
			}
			if err := a.may(ctx, c, "detection.read", d.TenantID, "detection"); err != nil {
				return wire.Detection{}, err
			}
			return detectionView(d), a.uninvolved(ctx, c, d.TenantID, d.CaseID, "detection")
		})
}
