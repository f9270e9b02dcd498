package ocsf

import (
	"sort"
	"strings"
)

// shape is what OCSF 1.8.0 says of a class or an object: attributes that are not walked further, and those that hold one
// of the objects below. Attributes of every profile count as known. A test compares the table with the schema.
type shape struct {
	plain   string            // names, parted by spaces
	objects map[string]string // attribute: object
}

// classShape names the shape of the Detection Finding class itself.
const classShape = "detection_finding"

var shapes = map[string]shape{
	"detection_finding": {
		plain: "action action_id activity_id activity_name actor anomaly_analyses api assignee_group authorizations " +
			"category_name category_uid class_name class_uid cloud comment confidence confidence_id " +
			"confidence_score count disposition disposition_id duration end_time end_time_dt enrichments " +
			"firewall_rule impact impact_id impact_score is_alert is_suspected_breach malware_scan_info message " +
			"policy priority priority_id raw_data raw_data_size remediation risk_details risk_level risk_level_id " +
			"risk_score severity severity_id src_url start_time start_time_dt status status_code status_detail " +
			"status_id ticket tickets time time_dt timezone_offset type_name type_uid unmapped vendor_attributes " +
			"verdict verdict_id vulnerabilities",
		objects: map[string]string{
			"assignee": "user", "attacks": "attack", "device": "device", "evidences": "evidences",
			"finding_info": "finding_info", "malware": "malware", "metadata": "metadata",
			"observables": "observable", "osint": "osint", "raw_data_hash": "fingerprint",
			"resources": "resource_details",
		},
	},
	"finding_info": {
		plain: "attack_graph created_time created_time_dt data_sources desc first_seen_time first_seen_time_dt " +
			"kill_chain last_seen_time last_seen_time_dt modified_time modified_time_dt product_uid " +
			"related_events related_events_count src_url tags title traits types uid uid_alt",
		objects: map[string]string{
			"analytic": "analytic", "attacks": "attack", "product": "product",
			"related_analytics": "analytic",
		},
	},
	"metadata": {
		plain: "correlation_uid data_classification data_classifications debug event_code extension extensions " +
			"is_truncated labels log_format log_level log_name log_provider log_source log_version logged_time " +
			"logged_time_dt loggers modified_time modified_time_dt original_event_uid original_time " +
			"processed_time processed_time_dt profiles reporter sequence source tags tenant_uid " +
			"total_queued_duration transformation_info_list transmit_time transmit_time_dt type uid " +
			"untruncated_size version",
		objects: map[string]string{
			"product": "product",
		},
	},
	"product": {
		plain: "cpe_name data_classification data_classifications feature lang name path uid url_string vendor_name " +
			"version",
	},
	"observable": {
		plain: "event_uid name type type_id type_uid value",
		objects: map[string]string{
			"reputation": "reputation",
		},
	},
	"reputation": {
		plain: "base_score provider score score_id",
	},
	"evidences": {
		plain: "actor api container data database databucket email http_response ja4_fingerprint_list job name " +
			"reg_key reg_value script uid verdict verdict_id win_service",
		objects: map[string]string{
			"connection_info": "network_connection_info", "device": "device",
			"dst_endpoint": "network_endpoint", "file": "file", "http_request": "http_request",
			"process": "process", "query": "dns_query", "resources": "resource_details",
			"src_endpoint": "network_endpoint", "tls": "tls", "url": "url", "user": "user",
		},
	},
	"network_endpoint": {
		plain: "agent_list autonomous_system container domain hostname hw_info instance_uid interface_name " +
			"interface_uid intermediate_ips ip isp isp_org location mac mac_vendor name namespace_pid " +
			"network_scope network_scope_id os pool port proxy_endpoint subnet_uid svc_name type type_id uid " +
			"vlan_uid vpc_uid zone",
		objects: map[string]string{
			"fingerprints": "fingerprint", "owner": "user",
		},
	},
	"network_connection_info": {
		plain: "boundary boundary_id community_uid direction direction_id flag_history protocol_name protocol_num " +
			"protocol_ver protocol_ver_id session tcp_flags uid",
	},
	"attack": {
		plain: "mitigation version",
		objects: map[string]string{
			"sub_technique": "sub_technique", "tactic": "tactic", "tactics": "tactic",
			"technique": "technique",
		},
	},
	"technique": {
		plain: "name src_url uid",
	},
	"sub_technique": {
		plain: "name src_url uid",
	},
	"tactic": {
		plain: "name src_url uid",
	},
	"analytic": {
		plain: "algorithm category desc name state state_id type type_id uid version",
		objects: map[string]string{
			"related_analytics": "analytic",
		},
	},
	"device": {
		plain: "agent_list autoscale_uid boot_time boot_time_dt boot_uid container created_time created_time_dt desc " +
			"domain eid first_seen_time first_seen_time_dt groups hostname hw_info hypervisor iccid image imei " +
			"imei_list instance_uid interface_name interface_uid ip is_backed_up is_compliant is_managed " +
			"is_mobile_account_active is_personal is_shared is_supervised is_trusted last_seen_time " +
			"last_seen_time_dt location mac mac_vendor meid model modified_time modified_time_dt name " +
			"namespace_pid network_interfaces org os os_machine_uuid pool region risk_level risk_level_id " +
			"risk_score subnet subnet_uid type type_id udid uid uid_alt vendor_name vlan_uid vpc_uid zone",
		objects: map[string]string{
			"owner": "user",
		},
	},
	"user": {
		plain: "account credential_uid display_name domain email_addr forward_addr full_name groups has_mfa " +
			"ldap_person name org phone_number programmatic_credentials risk_level risk_level_id risk_score type " +
			"type_id uid uid_alt",
	},
	"malware": {
		plain: "classification_ids classifications cves name num_infected path provider severity severity_id uid",
		objects: map[string]string{
			"files": "file",
		},
	},
	"file": {
		plain: "accessed_time accessed_time_dt attributes company_name confidentiality confidentiality_id " +
			"created_time created_time_dt data_classification data_classifications desc drive_type drive_type_id " +
			"encryption_details ext imported_symbols internal_name is_deleted is_encrypted is_public is_readonly " +
			"is_system mime_type modified_time modified_time_dt name parent_folder path security_descriptor " +
			"signature signatures size storage_class tags type type_id uid uri version volume xattributes",
		objects: map[string]string{
			"accessor": "user", "creator": "user", "hashes": "fingerprint", "modifier": "user",
			"owner": "user", "product": "product", "url": "url",
		},
	},
	"fingerprint": {
		plain: "algorithm algorithm_id value",
	},
	"process": {
		plain: "ancestry auid cmd_line container cpid created_time created_time_dt egid environment_variables euid " +
			"group hosted_services integrity integrity_id lineage loaded_modules name namespace_pid path pid ptid " +
			"sandbox session terminated_time terminated_time_dt tid uid working_directory xattributes",
		objects: map[string]string{
			"file": "file", "parent_process": "process", "user": "user",
		},
	},
	"url": {
		plain: "categories category_ids domain hostname path port query_string resource_type scheme subdomain " +
			"url_string",
	},
	"dns_query": {
		plain: "class hostname opcode opcode_id packet_uid type",
	},
	"http_request": {
		plain: "args body_length http_headers http_method length referrer uid user_agent version x_forwarded_for",
		objects: map[string]string{
			"url": "url",
		},
	},
	"tls": {
		plain: "alert certificate certificate_chain cipher client_ciphers extension_list handshake_dur key_length " +
			"sans server_ciphers sni tls_extension_list version",
		objects: map[string]string{
			"ja3_hash": "fingerprint", "ja3s_hash": "fingerprint",
		},
	},
	"resource_details": {
		plain: "agent_list cloud_partition created_time created_time_dt criticality data data_classification " +
			"data_classifications group hostname ip is_backed_up labels modified_time modified_time_dt name " +
			"namespace provider region resource_relationship role role_id tags type uid uid_alt version zone",
		objects: map[string]string{
			"owner": "user",
		},
	},
	"osint": {
		plain: "answers autonomous_system campaign category comment confidence confidence_id created_time " +
			"created_time_dt desc detection_pattern detection_pattern_type detection_pattern_type_id email " +
			"email_auth expiration_time expiration_time_dt external_uid intrusion_sets kill_chain labels location " +
			"modified_time modified_time_dt name references risk_score script severity severity_id signatures " +
			"src_url subdomains subnet threat_actor tlp type type_id uid uploaded_time uploaded_time_dt value " +
			"vendor_name vulnerabilities whois",
		objects: map[string]string{
			"attacks": "attack", "creator": "user", "file": "file", "malware": "malware",
			"related_analytics": "analytic", "reputation": "reputation",
		},
	},
}

// attributes is shapes made quick to ask.
var attributes = func() map[string]attributeSet {
	all := make(map[string]attributeSet, len(shapes))
	for name, s := range shapes {
		set := attributeSet{known: map[string]bool{}}
		for _, a := range strings.Fields(s.plain) {
			set.known[a] = true
		}
		for a := range s.objects {
			set.known[a] = true
			set.walk = append(set.walk, a)
		}
		sort.Strings(set.walk)
		all[name] = set
	}
	return all
}()

type attributeSet struct {
	known map[string]bool
	walk  []string // sorted
}
