package tags

import (
	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
)

// BusOptions is how program name uses the Redis that r describes.
func BusOptions(r config.Redis, name string) redisbus.Options {
	o := redisbus.Options{
		Addr: r.Addr, Username: r.Username, Password: r.Password, Topic: r.Topic, Name: name, TLS: r.TLS, CA: r.CA,
		MasterName: r.MasterName, SentinelPassword: r.SentinelPassword,
	}
	for _, e := range r.Sentinels {
		o.Sentinels = append(o.Sentinels, string(e))
	}
	return o
}
