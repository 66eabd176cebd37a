"""YAML that people write: what stands twice is refused."""

from collections.abc import Generator
from typing import Any, ClassVar

import yaml


class GivenTwice(yaml.MarkedYAMLError):
    """A mapping has a member again."""


class StrictLoader(yaml.SafeLoader):
    """Of a member that is given twice YAML's own keeps the last: of two lists one would be forgotten."""

    def construct_yaml_map(self, node: yaml.MappingNode) -> Generator[dict[Any, Any]]:
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for number, key in enumerate(keys):
            if key.value in (earlier.value for earlier in keys[:number]):
                raise GivenTwice(problem="a member is given again", problem_mark=key.start_mark)
        return super().construct_yaml_map(node)

    yaml_constructors: ClassVar = {**yaml.SafeLoader.yaml_constructors, "tag:yaml.org,2002:map": construct_yaml_map}
