"""How `make lab` and the browser tests run JupyterLab: nothing is asked of the network."""

c = get_config()  # noqa: F821  # type: ignore[name-defined]  # JupyterLab provides it
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.extension_manager = "readonly"
c.LabApp.news_url = None
