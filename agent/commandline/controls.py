"""``solvus approve | reject | edit | resolve | pause | resume | stop | release``: what people ask of a campaign."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from solvus.agent.commandline.paths import LEDGER_OPTION_HELP

Campaign = Annotated[str, typer.Argument(help="Id of the campaign, as `solvus status` lists it.")]
Experiment = Annotated[
    int | None,
    typer.Argument(min=1, help="Number of the experiment; may be left out where only one waits."),
]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; goes into the ledger.")]
Who = Annotated[str | None, typer.Option("--who", help="Who asks. [default: your login]", show_default=False)]
Patience = Annotated[
    float, typer.Option("--wait", min=0.0, help="Seconds to wait for the agent's answer; 0 does not wait.")
]
LedgerOption = Annotated[str | None, typer.Option(help=LEDGER_OPTION_HELP, show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def approve(
    campaign: Campaign,
    experiment: Experiment = None,
    reason: Reason = "",
    who: Who = None,
    wait: Patience = 15.0,
    ledger: LedgerOption = None,
    as_json: Json = False,
) -> None:
    """Approve an experiment that waits: it is made as it stands.

    Example: solvus approve gold-decahedron-1 7 --reason "within what we know"
    """
    from solvus.agent.commandline.controls_desk import ask, waiting
    from solvus.agent.requests import Approve

    found = waiting(ledger, campaign, experiment, "approval", as_json)
    request = Approve(
        who=_who(who, as_json), reason=reason, experiment=found.number, recipe_sha256=found.recipe_sha256
    )
    ask(ledger, campaign, request, wait, as_json)


def reject(
    campaign: Campaign,
    experiment: Experiment = None,
    reason: Reason = "",
    who: Who = None,
    wait: Patience = 15.0,
    ledger: LedgerOption = None,
    as_json: Json = False,
) -> None:
    """Reject an experiment that waits; the planner proposes another recipe. Needs a reason.

    Example: solvus reject gold-decahedron-1 7 --reason "thiol smells; use it on Friday"
    """
    from solvus.agent.commandline.console import fail
    from solvus.agent.commandline.controls_desk import ask, waiting
    from solvus.agent.requests import Reject

    if not reason.strip():
        fail("--reason: say why it is rejected; whoever reads the ledger wants to know", as_json)
    found = waiting(ledger, campaign, experiment, "approval", as_json)
    ask(
        ledger,
        campaign,
        Reject(who=_who(who, as_json), reason=reason, experiment=found.number),
        wait,
        as_json,
    )


def edit(
    campaign: Campaign,
    experiment: Annotated[int, typer.Argument(min=1, help="Number of the experiment.")],
    changes: Annotated[list[str], typer.Argument(help="PARAMETER=VALUE, one or more; the rest stays.")],
    reason: Reason = "",
    who: Who = None,
    wait: Patience = 15.0,
    ledger: LedgerOption = None,
    as_json: Json = False,
) -> None:
    """Change the recipe of an experiment that waits, and approve it so. The planner learns from what is made.

    Example: solvus edit gold-decahedron-1 7 temperature=65 capping_agent=pvp --reason "pvp is what we have"
    """
    from solvus.agent.commandline.controls_desk import ask, parse_changes, waiting
    from solvus.agent.requests import Edit

    found = waiting(ledger, campaign, experiment, "approval", as_json)
    ask(
        ledger,
        campaign,
        Edit(
            who=_who(who, as_json),
            reason=reason,
            experiment=found.number,
            recipe_sha256=found.recipe_sha256,
            changes=parse_changes(changes, found.recipe, as_json),
        ),
        wait,
        as_json,
    )


def resolve(
    campaign: Campaign,
    experiment: Experiment = None,
    outcome: Annotated[
        Literal["discard", "no-product", "again"],
        typer.Option(
            help="discard: conclude nothing. no-product: there is none. again: propose it once more."
        ),
    ] = "discard",
    reason: Reason = "",
    who: Who = None,
    wait: Patience = 15.0,
    ledger: LedgerOption = None,
    as_json: Json = False,
) -> None:
    """Say what became of an experiment whose outcome nobody knows (campaigns with `approval: {unknown: ask}`).

    Example: solvus resolve gold-decahedron-1 7 --outcome again --reason "the flask was still empty"
    """
    from solvus.agent.commandline.controls_desk import ask, waiting
    from solvus.agent.requests import Resolve

    found = waiting(ledger, campaign, experiment, "outcome", as_json)
    request = Resolve(who=_who(who, as_json), reason=reason, experiment=found.number, outcome=outcome)
    ask(ledger, campaign, request, wait, as_json)


def pause(
    campaign: Campaign,
    reason: Reason = "",
    who: Who = None,
    wait: Patience = 15.0,
    ledger: LedgerOption = None,
    as_json: Json = False,
) -> None:
    """Pause a campaign: nothing new is proposed or ordered, what is under way goes on to its end.

    It stays paused over a crash and a restart, until `solvus resume`.

    Example: solvus pause gold-decahedron-1 --reason "changing the solvent bottle"
    """
    from solvus.agent.commandline.controls_desk import ask
    from solvus.agent.requests import Pause

    ask(ledger, campaign, Pause(who=_who(who, as_json), reason=reason), wait, as_json)


def resume(
    campaign: Campaign,
    reason: Reason = "",
    who: Who = None,
    wait: Patience = 15.0,
    ledger: LedgerOption = None,
    as_json: Json = False,
) -> None:
    """Let a paused campaign go on. (A campaign whose agent has ended goes on with `solvus run ... --resume`.)

    Example: solvus resume gold-decahedron-1 --reason "new bottle is in"
    """
    from solvus.agent.commandline.controls_desk import ask, soon
    from solvus.agent.requests import Unpause

    request = Unpause(who=_who(who, as_json), reason=reason, expires_at=soon())
    ask(ledger, campaign, request, wait, as_json)


def stop(
    campaign: Annotated[
        str,
        typer.Argument(help="Id of the campaign; with --emergency the laboratory, a file or a shipped name."),
    ],
    emergency: Annotated[
        bool,
        typer.Option(
            "--emergency", help="Stop all devices of a LABORATORY at once; needs no agent and no ledger."
        ),
    ] = False,
    reason: Reason = "",
    who: Who = None,
    wait: Patience = 15.0,
    ledger: LedgerOption = None,
    as_json: Json = False,
) -> None:
    """End a running campaign in good order; `solvus run ... --resume` takes it up again.

    With --emergency: cancel what the devices of a laboratory do, make their hardware safe, and let them refuse all
    orders until `solvus release`. Ends with status 1 unless every device says it is idle.

    Example: solvus stop gold-decahedron-1 --reason "beam time is over"

    Example: solvus stop --emergency beamline.yaml --reason "smell of solvent"
    """
    from solvus.agent.commandline.controls_desk import ask, soon
    from solvus.agent.requests import Stop

    if emergency:
        from solvus.agent.commandline.emergency_stop import tell_laboratory

        tell_laboratory(campaign, "halt", who=_who(who, as_json), reason=reason, as_json=as_json)
        return
    ask(
        ledger,
        campaign,
        Stop(who=_who(who, as_json), reason=reason, expires_at=soon()),
        wait,
        as_json,
    )


def release(
    laboratory: Annotated[str, typer.Argument(help="LAB.yaml, or the name of a shipped laboratory.")],
    reason: Reason = "",
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Release the devices of a laboratory from an emergency stop. Campaigns it paused wait for `solvus resume`.

    Example: solvus release beamline.yaml --reason "aired, all is well"
    """
    from solvus.agent.commandline.emergency_stop import tell_laboratory

    tell_laboratory(laboratory, "release", who=_who(who, as_json), reason=reason, as_json=as_json)


def _who(given: str | None, as_json: bool) -> str:
    """The name that goes into the ledger."""
    from solvus.agent.commandline.console import fail
    from solvus.agent.requests import Pause, login_name

    name = login_name() if given is None else given
    try:
        return Pause(who=name).who
    except ValueError:
        fail("--who: needs a name of 1 to 100 characters on one line", as_json)
