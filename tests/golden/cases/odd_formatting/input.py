#!/usr/bin/env python
# -*- coding: utf-8 -*-
# golden: add-after "x = x*decay # halved, more or less" flor.log("probe", [epoch, x])
# golden: query SELECT epoch, probe FROM logs WHERE epoch IN (2, 4)
'''Comments, blank lines, continuations and quotes stay as they were.'''
from __future__ import annotations

import flor   # three spaces


x   =  8.0 ;  decay=0.45
text = '''
for epoch in range(6):   # not code
'''

for   epoch   in   range(
        6 ,   # how many

    ) :    # the loop

    # a comment of its own

  # less indented than the code
    x = x*decay # halved, more or less
    if (x <
        1.0
    ): x = \
        x + 4.0
    flor.log ( 'x' ,
               x )

    # the last word
# not in the loop

k = 0
while (     # parenthesised
    k < 3
    and x > 0
) : # why
        k += 1 ; x -= .25
        flor.log( "left",k, )
print( x , text , sep = "" )
