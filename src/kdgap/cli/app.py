"""All commands, in the order in which a newcomer meets them."""

import typer

from kdgap.cli import (
    bench,
    convert,
    data,
    distill,
    evaluate,
    explore,
    export,
    judging,
    listings,
    models,
    plan,
    predict,
    rank,
    show,
    status,
    study,
    train,
)

app = typer.Typer(
    name="kdgap",
    help="Train teacher-student distillation runs, and say honestly what came of them.",
    epilog="First steps: kdgap plan configs/studies/digits.yaml · kdgap run configs/studies/"
    "digits.yaml · kdgap models",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("distill", epilog=distill.EXAMPLES)(distill.distill)
app.command("plan", epilog=plan.EXAMPLES)(plan.plan)
app.command("run", epilog=study.EXAMPLES)(study.run)
app.command("status", epilog=status.STATUS_EXAMPLES)(status.status)
app.command("verify", epilog=status.VERIFY_EXAMPLES)(status.verify)
app.command("clean", epilog=status.CLEAN_EXAMPLES)(status.clean)
app.command("analyze", epilog=judging.ANALYZE_EXAMPLES)(judging.analyze)
app.command("rank", epilog=rank.EXAMPLES)(rank.rank)
app.command("report", epilog=judging.REPORT_EXAMPLES)(judging.report)
app.command("explore", epilog=explore.EXAMPLES)(explore.explore)
app.command("import", epilog=judging.IMPORT_EXAMPLES)(judging.import_)
app.command("export", epilog=export.EXAMPLES)(export.export)
app.command("worker", hidden=True, epilog="Example: kdgap worker runs/digits")(study.worker)
app.command("train", epilog=train.EXAMPLES)(train.train)
app.command("show", epilog=show.EXAMPLES)(show.show)
app.command("evaluate", epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command("predict", epilog=predict.EXAMPLES)(predict.predict)
app.command("convert", epilog=convert.EXAMPLES)(convert.convert)
app.command("data", epilog=data.EXAMPLES)(data.data)
app.command("models", epilog=models.EXAMPLES)(models.models)
app.command("methods", epilog="Example: kdgap methods --json")(listings.methods)
app.command("presets", epilog="Example: kdgap presets --json")(listings.presets)
app.command("bench", epilog=bench.EXAMPLES)(bench.bench)
app.command("env", epilog="Example: kdgap env --json")(listings.env)
