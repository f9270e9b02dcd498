package api

import "net/http"

// routes registers every operation. Each names its action where it is handled: see policies/access/access.rego.
func (a *API) routes() {
	a.metaRoutes()
	a.detectionRoutes()
	a.caseRoutes()
	a.actionRoutes()
	a.planRoutes()
	a.requestRoutes()
	a.organisationRoutes()
	a.modeRoutes()
	a.contactRoutes()
	a.assetRoutes()
	a.connectionRoutes()
	a.tokenRoutes()
	a.peopleRoutes()
	a.policyRoutes()
	a.journalRoutes()
}

// inCase is the path of one case, by id, FB-12 or 12.
type inCase struct {
	Case string `path:"case" doc:"an id, FB-12 or 12"`
}

// inTenant is the path of one organisation.
type inTenant struct {
	Tenant string `path:"tenant" doc:"an id or a slug"`
}

// byID is the path of one thing.
type byID struct {
	ID string `path:"id"`
}

func get(path, id, tag, summary string) route {
	return route{method: http.MethodGet, path: path, id: id, tag: tag, summary: summary}
}

func post(path, id, tag, summary string) route {
	return route{method: http.MethodPost, path: path, id: id, tag: tag, summary: summary}
}

func put(path, id, tag, summary string) route {
	return route{method: http.MethodPut, path: path, id: id, tag: tag, summary: summary}
}

func remove(path, id, tag, summary string) route {
	return route{method: http.MethodDelete, path: path, id: id, tag: tag, summary: summary}
}

func (r route) answers(status int) route {
	r.status = status
	return r
}

func (r route) toAnybody() route {
	r.open = true
	return r
}
