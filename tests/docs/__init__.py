"""The documentation, executed: README.md and every page of docs/.

pages      finds the code blocks of a page
running    runs them one after the other, as a reader would
commands   what a block of shell may say, and how each command is run
apps       stands in for the services that the how-tos speak to

What a block is run as follows from its fence:

python                    a program of its own; `<!-- continues -->` above it goes on where the block before ended
python title="app.py"     that file, in a folder which the page's blocks share; `test_*.py` is given to pytest
sh, console               commands, run for real against the files of the page; in `console` each has a `$`, and the
                          lines after it are what it must print (`...` is anything)
html, js, nginx           loaded, checked by node, checked by nginx
text                      a drawing, or output; not run
"""
