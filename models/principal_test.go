package models_test

import (
	"strings"
	"testing"

	"scrip/models"
)

func TestPrincipalOwns(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		who      models.Principal
		merchant string
		want     bool
	}{
		"platform: a merchant's":                {models.Principal{Role: models.RolePlatform}, "m1", true},
		"platform: its own":                     {models.Principal{Role: models.RolePlatform}, "", true},
		"merchant: its own":                     {models.Principal{Role: models.RoleMerchant, MerchantID: "m1"}, "m1", true},
		"merchant: another's":                   {models.Principal{Role: models.RoleMerchant, MerchantID: "m1"}, "m2", false},
		"merchant: in other case":               {models.Principal{Role: models.RoleMerchant, MerchantID: "m1"}, "M1", false},
		"merchant: the platform's":              {models.Principal{Role: models.RoleMerchant, MerchantID: "m1"}, "", false},
		"merchant of no name: the platform's":   {models.Principal{Role: models.RoleMerchant}, "", false},
		"merchant of no name: a merchant's":     {models.Principal{Role: models.RoleMerchant}, "m1", false},
		"service: a merchant's":                 {models.Principal{Role: models.RoleService}, "m1", false},
		"service: the platform's":               {models.Principal{Role: models.RoleService}, "", false},
		"service that names a merchant":         {models.Principal{Role: models.RoleService, MerchantID: "m1"}, "m1", false},
		"user: a merchant's":                    {models.Principal{Role: models.RoleUser, UserID: "u1"}, "m1", false},
		"user: the platform's":                  {models.Principal{Role: models.RoleUser, UserID: "u1"}, "", false},
		"user by a merchant's name":             {models.Principal{Role: models.RoleUser, UserID: "m1"}, "m1", false},
		"nobody: the platform's":                {models.Principal{}, "", false},
		"nobody: a merchant's":                  {models.Principal{}, "m1", false},
		"a role that does not exist: merchants": {models.Principal{Role: "root", MerchantID: "m1"}, "m1", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.who.Owns(tc.merchant); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestPrincipalOwnerFilter(t *testing.T) {
	t.Parallel()
	if id, restricted := (models.Principal{Role: models.RolePlatform}).OwnerFilter(); restricted {
		t.Errorf("the platform sees %q only", id)
	}
	who := models.Principal{Role: models.RoleMerchant, MerchantID: "m1"}
	if id, restricted := who.OwnerFilter(); !restricted || id != "m1" {
		t.Errorf("merchant m1 sees %q, restricted: %v", id, restricted)
	}
}

func TestAPIKeyCheck(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		key  models.APIKey
		want []fault
	}{
		"platform":                {models.APIKey{Role: models.RolePlatform}, nil},
		"service":                 {models.APIKey{Role: models.RoleService, Name: "checkout"}, nil},
		"merchant":                {models.APIKey{Role: models.RoleMerchant, MerchantID: "m1", Name: "shop"}, nil},
		"merchant of no name":     {models.APIKey{Role: models.RoleMerchant}, []fault{{"merchant_id", models.CodeRequired}}},
		"merchant of a bad name":  {models.APIKey{Role: models.RoleMerchant, MerchantID: " m1"}, []fault{{"merchant_id", models.CodeInvalid}}},
		"platform for a merchant": {models.APIKey{Role: models.RolePlatform, MerchantID: "m1"}, []fault{{"merchant_id", models.CodeInvalid}}},
		"service for a merchant":  {models.APIKey{Role: models.RoleService, MerchantID: "m1"}, []fault{{"merchant_id", models.CodeInvalid}}},
		"user":                    {models.APIKey{Role: models.RoleUser}, []fault{{"role", models.CodeInvalid}}},
		"no role":                 {models.APIKey{}, []fault{{"role", models.CodeRequired}}},
		"no such role":            {models.APIKey{Role: "root"}, []fault{{"role", models.CodeInvalid}}},
		"a name too long": {
			models.APIKey{Role: models.RoleService, Name: strings.Repeat("x", models.MaxNameLen+1)},
			[]fault{{"name", models.CodeOutOfRange}},
		},
		"everything": {
			models.APIKey{Role: models.RoleMerchant, Name: "a\tb"},
			[]fault{{"merchant_id", models.CodeRequired}, {"name", models.CodeInvalid}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantFaults(t, fieldsOf(t, tc.key.Check()), tc.want...)
		})
	}
}
