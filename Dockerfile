# The gateway as an image: no root, no secret, no file written. docs/deploy.md shows how to run it.
FROM python:3.13-slim AS build
# A release fails if the files of the GraphiQL page cannot be fetched.
ENV GATEWAY_BUILD=release PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN python -m venv /opt/gateway
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY gateway gateway
RUN /opt/gateway/bin/pip install -c constraints.txt .

FROM python:3.13-slim
LABEL org.opencontainers.image.title="twilio-calls-gateway" \
      org.opencontainers.image.description="A GraphQL gateway over Twilio's Calls resource" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/gateway /opt/gateway
# With a real account on this address the gateway starts only if GATEWAY_ACCESS says who may use it.
ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    GATEWAY_ENV=production \
    GATEWAY_HOST=0.0.0.0
# A number, so that Kubernetes can check runAsNonRoot.
USER 65532:65532
EXPOSE 8000 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=6 CMD ["gateway", "healthcheck"]
ENTRYPOINT ["gateway"]
CMD ["serve"]
