"""A mail server of aiosmtpd that keeps each mail as a file, and misbehaves as told."""
import argparse, asyncio, base64, json, os, ssl, sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

p = argparse.ArgumentParser()
p.add_argument("--port", type=int, required=True)
p.add_argument("--dir", required=True)
p.add_argument("--user", default="")
p.add_argument("--password", default="")
p.add_argument("--cert", default="")
p.add_argument("--key", default="")
p.add_argument("--implicit", action="store_true")
p.add_argument("--no-mech", default="")
p.add_argument("--refuse", action="append", default=[])
p.add_argument("--defer", action="append", default=[])
p.add_argument("--busy", type=int, default=0)
o = p.parse_args()

context = None
if o.cert:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(o.cert, o.key)


class Keep:
    count = 0
    asked = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in o.refuse:
            return "550 5.1.1 no such user here"
        if address in o.defer:
            return "451 4.7.1 come again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        Keep.asked += 1
        if Keep.asked <= o.busy:
            return "451 4.3.0 too busy, come again later"
        Keep.count += 1
        name = os.path.join(o.dir, "%06d.json" % Keep.count)
        with open(name + ".new", "w") as f:
            json.dump({
                "helo": session.host_name, "from": envelope.mail_from, "to": envelope.rcpt_tos,
                "tls": session.ssl is not None or o.implicit, "authenticated": session.authenticated,
                "text": base64.b64encode(envelope.original_content).decode(),
            }, f)
        os.rename(name + ".new", name)
        return "250 2.0.0 kept"


def authenticate(server, session, envelope, mechanism, data):
    if isinstance(data, LoginPassword) and data.login == o.user.encode() and data.password == o.password.encode():
        return AuthResult(success=True)
    return AuthResult(success=False, handled=False)


def serve():
    return SMTP(
        Keep(), hostname="mail.example", ident="test", enable_SMTPUTF8=True,
        tls_context=None if o.implicit else context,
        authenticator=authenticate if o.user else None, auth_required=bool(o.user),
        auth_require_tls=bool(context) and not o.implicit,
        auth_exclude_mechanism=o.no_mech.split() or None)


async def main():
    server = await asyncio.get_running_loop().create_server(serve, "127.0.0.1", o.port, ssl=context if o.implicit else None)
    print("ready", flush=True)
    await server.serve_forever()

sys.exit(asyncio.run(main()))
