"""A test that runs a script in the source tree. sh_test needs repositories from the network; this does not."""

def _script_test(ctx):
    run = ctx.actions.declare_file(ctx.label.name + ".sh")
    ctx.actions.write(run, "#!/bin/sh\nexec sh {} \"$@\"\n".format(ctx.file.script.short_path), is_executable = True)
    return [DefaultInfo(executable = run, runfiles = ctx.runfiles([ctx.file.script] + ctx.files.data))]

script_test = rule(
    implementation = _script_test,
    attrs = {
        "script": attr.label(allow_single_file = True, mandatory = True),
        "data": attr.label_list(allow_files = True),
    },
    test = True,
)
