"""One file per artifact, glue only: read what is upstream, call the parts that know, write what comes out."""
