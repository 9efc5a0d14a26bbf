"""A vendor as data: which adapter speaks to it, where it is, which variables hold its key."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Variables = Annotated[tuple[str, ...], Field(description="names of variables; the first that is set counts")]


class Vendor(BaseModel):
    """Somebody who sells models, or serves them on this machine. It is on where its variables are set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="the provider's name, unless given another")
    title: str = Field(description="its name for people")
    adapter: str = Field(description="the dialect that it speaks")
    also: tuple[str, ...] = Field(default=(), description="other dialects that it speaks, without options of its own")
    base_url: str | None = Field(default=None, description="where it is, when not where the adapter looks anyway")
    key: Variables = ()
    url: Variables = Field(default=(), description="variables that say where it is")
    needs: tuple[Variables, ...] = Field(default=(), description="further variables, one of each group must be set")
    settings: dict[str, Variables] = Field(default_factory=dict, description="option -> variables that set it")
    options: dict[str, Any] = Field(default_factory=dict, description="options of its adapter: in what it differs")
    local: str = Field(default="", description="host:port where it listens on this machine, if it runs")
    prices: str = Field(default="", description="its name in the price table")
    docs: str = Field(default="", description="where one gets a key, or reads how to start it")

    @property
    def variables(self) -> tuple[tuple[str, ...], ...]:
        """What must be set for it to be on, as groups of which one is enough."""
        groups = [self.key, *self.needs]
        if self.url and not self.base_url and not self.key:
            groups.append(self.url)
        return tuple(group for group in groups if group)
