package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/seed-a7c21902/andon/pkg/asapi"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

// accountsOf finds the credentials of every account: those that the file
// configures and, unless it is among them, the default account's where
// Tencent's own tools look for them.
func accountsOf(ctx context.Context, c Config, getenv func(string) string, log *slog.Logger) (map[string]asapi.Account, error) {
	accounts := make(map[string]asapi.Account)
	var faults []error
	fault := func(name string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("account %s: %w", name, err))
		}
	}
	for name, a := range c.Accounts {
		switch {
		case a.CredentialsFile != "":
			accounts[name] = asapi.File(a.CredentialsFile, a.Profile)
		case a.TccliProfile != "":
			accounts[name] = asapi.TCCLI(asapi.TCCLIPath(getenv("HOME"), a.TccliProfile))
		case a.TKEOIDC:
			oidc, err := asapi.OIDCFrom(getenv)
			fault(name, err)
			accounts[name] = oidc
		default:
			accounts[name] = asapi.CVMRole(a.CVMRole)
		}
	}
	for name, a := range accounts {
		fault(name, a.Check(ctx, log))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	if _, ok := accounts[stop.DefaultAccount]; ok {
		return accounts, nil
	}
	a, err := asapi.Default(ctx, getenv, log)
	if errors.Is(err, asapi.ErrNone) && len(accounts) > 0 {
		log.Info("there is no default account; requests must name one", "reason", err)
		return accounts, nil
	}
	if err != nil {
		return nil, fmt.Errorf("account %s: %w", stop.DefaultAccount, err)
	}
	accounts[stop.DefaultAccount] = a
	return accounts, nil
}
