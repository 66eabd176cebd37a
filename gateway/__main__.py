"""`python -m gateway`: serves HTTP. With a command: provision, standalone, dead-letters, new-key, new-webhook,
new-publisher."""

import argparse
import logging
import sys

from contracts.process.settings import InvalidSettings


def main() -> int:
    arguments = _read_arguments()
    try:
        return _run(arguments)
    except InvalidSettings as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 2


def _run(arguments: argparse.Namespace) -> int:
    """Each command imports only its own parts: serving starts faster, and small."""
    from gateway import settings

    if arguments.command is not None:
        logging.disable(logging.WARNING)  # a command says itself what happened, once
    match arguments.command:
        case None:
            from gateway.http.server import serve

            return serve(settings.read_environment())
        case "provision":
            from gateway.commands.provision import provision

            nats, provisioning = settings.read_provision_environment(arguments.replicas)
            return provision(
                nats, provisioning, give_out_again=arguments.give_out_again, publishers=arguments.publishers
            )
        case "standalone":
            from gateway.commands.standalone import stand_alone

            return stand_alone(settings.read_standalone_environment(), arguments.handlers)
        case "dead-letters":
            from gateway.commands.dead_letters import list_dead_letters, put_back

            nats = settings.read_nats_environment()
            return list_dead_letters(nats) if arguments.action == "list" else put_back(nats, arguments.sequence)
        case "new-webhook":
            from gateway.commands.webhooks import print_new_webhook

            return print_new_webhook(arguments.name, arguments.url)
        case "new-key":
            from gateway.keys import print_new_key

            return print_new_key(arguments.name, arguments.scopes or "")
        case _:
            from gateway.commands.publishers import print_new_publisher

            return print_new_publisher(arguments.name, arguments.kinds.split(","))


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m gateway", description="Serves HTTP; see the commands for the rest."
    )
    commands = parser.add_subparsers(dest="command", title="commands")
    provision = commands.add_parser("provision", help="make streams, consumers and buckets as declared in nats/")
    provision.add_argument("--replicas", type=int, choices=(1, 3, 5), help="instead of NATS_REPLICAS")
    provision.add_argument(
        "--publisher",
        action="append",
        default=[],
        dest="publishers",
        metavar="NAME",
        help="let this publisher pull the events of its own jobs from where it stopped",
    )
    provision.add_argument(
        "--give-out-again",
        action="store_true",
        help="what handlers had taken is given out again at once; only while no handler runs",
    )
    standalone = commands.add_parser("standalone", help="a NATS server, the gateway and handlers on this machine")
    standalone.add_argument(
        "--handlers", type=int, default=1, metavar="N", help="how many handler processes (0 is allowed)"
    )
    dead = commands.add_parser("dead-letters", help="messages that could have no record of their own")
    actions = dead.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="show them, oldest first")
    put_back = actions.add_parser("put-back", help="publish one again to where it came from")
    put_back.add_argument("sequence", type=int, metavar="SEQ")
    key = commands.add_parser("new-key", help="make a key; it is printed once, with its line for ADMIN_API_KEYS_FILE")
    key.add_argument("name")
    key.add_argument(
        "--scopes", metavar="SCOPE,...", help="read, bootstrap, offboard, admin; without: read and bootstrap"
    )
    webhook = commands.add_parser("new-webhook", help="make a webhook's secret; it is printed once, with its lines")
    webhook.add_argument("name")
    webhook.add_argument("url")
    publisher = commands.add_parser("new-publisher", help="print a publisher's account for the NATS configuration")
    publisher.add_argument("name")
    publisher.add_argument(
        "--kinds", metavar="KIND,...", default="bootstrap", help="what it may publish (default: %(default)s)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
