"""What pyproject.toml cannot say: the configuration lies beside the package here, and within it in a wheel."""

from setuptools import find_packages, setup

BESIDE = {"croco.conf": "conf", "croco.experiments": "experiments"}

setup(
    packages=[*find_packages(include=["croco*"]), *BESIDE],
    package_dir=BESIDE,
    package_data={
        "croco": ["py.typed"],
        "croco.conf": ["**/*.yaml"],
        "croco.experiments": ["*.yaml"],
        "croco.evals.checks": ["data/*.yaml"],
        "croco.models": ["templates/*.jinja"],
        "croco.page": ["*.jinja", "*.css", "*.js"],
        "croco.tiny": ["data/*.tsv", "models/*/*", "README.md"],
    },
)
